require "socket"
socket = UDPSocket.new
while (line = $stdin.gets)
  socket.send(line.chomp, 0, ARGV[0], ARGV[1].to_i)
end
