require "socket"
$stdout.sync = true
socket = UDPSocket.new
socket.bind("0.0.0.0", ARGV[0].to_i)
loop { puts socket.recvfrom(65536)[0] }
