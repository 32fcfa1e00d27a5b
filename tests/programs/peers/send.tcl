package require udp
set socket [udp_open]
fconfigure $socket -remote [list [lindex $argv 0] [lindex $argv 1]] -buffering none \
    -translation binary
while {[gets stdin line] >= 0} { puts -nonewline $socket $line }
