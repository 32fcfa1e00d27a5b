<?php
$server = stream_socket_server("udp://0.0.0.0:{$argv[1]}", $code, $text, STREAM_SERVER_BIND);
while (($data = stream_socket_recvfrom($server, 65536, 0, $peer)) !== false)
    echo $data, "\n";
