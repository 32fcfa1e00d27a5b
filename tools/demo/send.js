// Sends standard input as UDP datagrams of 1,024 bytes. Usage: send.js HOST PORT
'use strict';
const dgram = require('dgram');

const DATAGRAM_BYTES = 1024;
const [host, port] = process.argv.slice(2);
const socket = dgram.createSocket('udp4');
let unsent = 0;
let ended = false;

function closeWhenDone() {
    if (ended && unsent === 0)
        socket.close();
}

process.stdin.on('readable', () => {
    let data;
    while ((data = process.stdin.read(DATAGRAM_BYTES)) !== null) {
        unsent++;
        socket.send(data, Number(port), host, () => {
            unsent--;
            closeWhenDone();
        });
    }
});
process.stdin.on('end', () => {
    ended = true;
    closeWhenDone();
});
