using System;
using System.Net.Sockets;
using System.Text;

class Send {
    static void Main(string[] args) {
        using (var client = new UdpClient()) {
            for (string line; (line = Console.ReadLine()) != null; ) {
                var data = Encoding.ASCII.GetBytes(line);
                client.Send(data, data.Length, args[0], int.Parse(args[1]));
            }
        }
    }
}
