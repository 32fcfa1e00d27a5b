:- use_module(library(socket)).
:- initialization(main, main).
main([Port]) :-
    atom_number(Port, Number),
    udp_socket(Socket),
    tcp_bind(Socket, Number),
    repeat,
    udp_receive(Socket, Data, _, [as(atom), max_message_size(65535)]),
    format("~w~n", [Data]),
    flush_output,
    fail.
