local udp = require("socket").udp()
io.stdout:setvbuf("no")
assert(udp:setsockname("0.0.0.0", tonumber(arg[1])))
while true do
  print(assert(udp:receive()))
end
