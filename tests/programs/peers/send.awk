{ print |& "/inet/udp/0/" host "/" port }
