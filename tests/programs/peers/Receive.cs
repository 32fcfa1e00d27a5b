using System;
using System.Net;
using System.Net.Sockets;
using System.Text;

class Receive {
    static void Main(string[] args) {
        var client = new UdpClient(int.Parse(args[0]));
        var peer = new IPEndPoint(IPAddress.Any, 0);
        while (true)
            Console.WriteLine(Encoding.ASCII.GetString(client.Receive(ref peer)));
    }
}
