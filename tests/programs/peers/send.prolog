:- use_module(library(socket)).
:- use_module(library(readutil)).
:- initialization(main, main).
main([Host, Port]) :-
    atom_number(Port, Number),
    udp_socket(Socket),
    send_all(Socket, Host:Number).
send_all(Socket, Peer) :-
    read_line_to_string(user_input, Line),
    (   Line == end_of_file
    ->  true
    ;   udp_send(Socket, Line, Peer, []),
        send_all(Socket, Peer)
    ).
