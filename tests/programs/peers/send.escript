#!/usr/bin/env escript
main([Host, Port]) ->
    {ok, Socket} = gen_udp:open(0, [binary]),
    {ok, Address} = inet:parse_address(Host),
    send_all(Socket, Address, list_to_integer(Port)).

send_all(Socket, Address, Port) ->
    case io:get_line("") of
        eof -> gen_udp:close(Socket);
        Line ->
            ok = gen_udp:send(Socket, Address, Port, string:trim(Line, trailing, "\n")),
            send_all(Socket, Address, Port)
    end.
