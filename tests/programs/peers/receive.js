// Prints each datagram that comes to the port.
const socket = require('dgram').createSocket('udp4');
socket.on('message', (data) => process.stdout.write(`${data}\n`));
socket.bind(Number(process.argv[2]));
