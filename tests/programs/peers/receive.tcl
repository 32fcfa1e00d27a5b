package require udp
fconfigure stdout -buffering line
proc show {socket} { puts [read $socket] }
set socket [udp_open [lindex $argv 0]]
fconfigure $socket -buffering none -translation binary
fileevent $socket readable [list show $socket]
vwait forever
