// Asks for one value so many times, without retries, and prints the answers.
const snmp = require('net-snmp');
const [host, port, oid, count] = process.argv.slice(2);
const session = snmp.createSession(host, 'public', { port: Number(port), retries: 0, timeout: 2000 });
const ask = (left) => {
  if (left === 0) return session.close();
  return session.get([oid], (error, values) => {
    if (!error) process.stdout.write(`${values[0].value}\n`);
    ask(left - 1);
  });
};
ask(Number(count));
