{ Sends each line of standard input as a datagram. }
program raw;
uses sockets, sysutils;
var
  line: ansistring;
  peer: TInetSockAddr;
  fd: longint;
begin
  peer.sin_family := AF_INET;
  peer.sin_port := htons(StrToInt(ParamStr(2)));
  peer.sin_addr := StrToNetAddr(ParamStr(1));
  fd := fpSocket(AF_INET, SOCK_DGRAM, 0);
  while not eof do
  begin
    readln(line);
    fpSendTo(fd, @line[1], length(line), 0, @peer, sizeof(peer));
  end;
end.
