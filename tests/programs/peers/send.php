<?php
$client = stream_socket_client("udp://{$argv[1]}:{$argv[2]}");
while (($line = fgets(STDIN)) !== false)
    fwrite($client, rtrim($line, "\n"));
