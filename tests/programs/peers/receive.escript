#!/usr/bin/env escript
main([Port]) ->
    {ok, Socket} = gen_udp:open(list_to_integer(Port), [binary, {active, false}]),
    receive_all(Socket).

receive_all(Socket) ->
    {ok, {_, _, Data}} = gen_udp:recv(Socket, 0),
    io:format("~s~n", [Data]),
    receive_all(Socket).
