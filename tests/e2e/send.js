// Plain UDP: sends the messages of standard input. Usage: send.js HOST PORT
'use strict';
const dgram = require('dgram');
const fs = require('fs');

const [host, port] = process.argv.slice(2);
const input = fs.readFileSync(0);
const socket = dgram.createSocket('udp4');

function sendFrom(offset) {
    if (offset === input.length) {
        socket.close();
        return;
    }
    const end = offset + 4 + input.readUInt32BE(offset);
    socket.send(input.subarray(offset + 4, end), Number(port), host, (error) => {
        if (error)
            throw error;
        sendFrom(end);
    });
}

sendFrom(0);
