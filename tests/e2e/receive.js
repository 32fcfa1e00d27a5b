// Plain UDP: writes the messages that come in to standard output. Usage: receive.js HOST PORT
'use strict';
const dgram = require('dgram');

const [host, port] = process.argv.slice(2);
const socket = dgram.createSocket('udp4');

socket.on('message', (data) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    process.stdout.write(Buffer.concat([length, data]));
});
socket.bind(Number(port), host);
