BEGIN {
    socket = "/inet/udp/" port "/0/0"
    while ((socket |& getline line) > 0) {
        print line
        fflush()
    }
}
