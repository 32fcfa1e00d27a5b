import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.DatagramChannel;

class Send {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        InetSocketAddress peer = new InetSocketAddress(args[0], Integer.parseInt(args[1]));
        try (DatagramChannel channel = DatagramChannel.open()) {
            for (String line; (line = in.readLine()) != null; )
                channel.send(ByteBuffer.wrap(line.getBytes("ISO-8859-1")), peer);
        }
    }
}
