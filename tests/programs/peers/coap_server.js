// Answers each request with its own path.
const server = require('coap').createServer((request, response) => response.end(request.url));
server.listen(Number(process.argv[2]), process.argv[3]);
