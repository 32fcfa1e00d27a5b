// Writes every UDP datagram that comes in to standard output. Usage: receive.js HOST PORT
'use strict';
const dgram = require('dgram');

const [host, port] = process.argv.slice(2);
const socket = dgram.createSocket('udp4');

socket.on('message', (data) => process.stdout.write(data));
socket.bind(Number(port), host);
