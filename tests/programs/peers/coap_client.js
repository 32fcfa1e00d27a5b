// Asks for so many paths, one after another, and prints the answers.
const coap = require('coap');
const [host, port, count] = process.argv.slice(2);
const ask = (index) => {
  if (index === Number(count)) process.exit(0);
  const request = coap.request({ host, port, pathname: `/item/${index}`, agent: false });
  request.on('response', (response) => {
    process.stdout.write(`${response.payload}\n`);
    ask(index + 1);
  });
  request.end();
};
ask(0);
