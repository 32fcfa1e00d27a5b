use strict;
use warnings;
use IO::Socket::INET;
my $socket = IO::Socket::INET->new(Proto => 'udp', PeerAddr => $ARGV[0], PeerPort => $ARGV[1])
    or die $@;
while (my $line = <STDIN>) { chomp $line; defined $socket->send($line) or die $! }
