// Sends each line of standard input as a datagram.
const dgram = require('dgram');
const lines = require('readline').createInterface({ input: process.stdin });
const socket = dgram.createSocket('udp4');
let open = 1;
const done = () => { if (--open === 0) socket.close(); };
lines.on('line', (line) => {
  open++;
  socket.send(line, Number(process.argv[3]), process.argv[2], done);
});
lines.on('close', done);
