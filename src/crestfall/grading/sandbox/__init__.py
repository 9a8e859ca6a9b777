"""The side of the grader that runs in processes of its own: standard library only, started by path, never imported by a
trainer.

    trainer -- CodeGrader --socket--> worker            holds the tests and the expected values; compares; never runs a
    program
                                        |--socket--> zygote      warmed, tiny, holds nothing; forks once per program
                                        |              |--fork--> contestant      one program: gets inputs, gives back
                                        values '----- one fresh socket per program ------'

Worker and zygote share a user, mount, network and PID namespace where the kernel grants them (`namespaces`, `newroot`),
both are confined by Landlock and seccomp (`landlock`, `seccomp`); the contestant adds a second filter and resource
limits (`contestant`). What it sends is a size-bounded tagged text (`encode`, `decode`).
"""
