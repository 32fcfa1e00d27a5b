use strict;
use warnings;
use IO::Socket::INET;
$| = 1;
my $socket = IO::Socket::INET->new(Proto => 'udp', LocalPort => $ARGV[0]) or die $@;
while (defined $socket->recv(my $data, 65536)) { print "$data\n" }
