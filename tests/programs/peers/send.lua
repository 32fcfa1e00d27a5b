local udp = require("socket").udp()
assert(udp:setpeername(arg[1], tonumber(arg[2])))
for line in io.lines() do
  assert(udp:send(line))
end
