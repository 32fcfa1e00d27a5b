// Gets one file.
const [host, remote, local] = process.argv.slice(2);
require('tftp').createClient({ host, port: 69 }).get(remote, local, { blockSize: 512 },
  (error) => process.exit(error ? 1 : 0));
