import java.io.PrintStream;
import java.net.DatagramPacket;
import java.net.DatagramSocket;

class Receive {
    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, true);
        DatagramPacket packet = new DatagramPacket(new byte[65536], 65536);
        try (DatagramSocket socket = new DatagramSocket(Integer.parseInt(args[0]))) {
            while (true) {
                packet.setLength(65536);
                socket.receive(packet);
                out.println(new String(packet.getData(), 0, packet.getLength(), "ISO-8859-1"));
            }
        }
    }
}
