// Counts so many hits, a datagram each.
const StatsD = require('hot-shots');
const [host, port, count] = process.argv.slice(2);
const client = new StatsD({ host, port: Number(port) });
let left = Number(count);
const hit = () => {
  if (left-- === 0) client.close();
  else client.increment('hits', 1, () => setTimeout(hit, 1));
};
hit();
