// Resolves a name in both of Node's ways: by the system's resolver and by its own. Usage: resolve.js NAME
const dns = require("dns");

const name = process.argv[2];
dns.lookup(name, { family: 4 }, (error, address) => {
  if (error) throw error;
  console.log(address);
  dns.resolve4(name, (failure, addresses) => {
    if (failure) throw failure;
    console.log(addresses[0]);
  });
});
