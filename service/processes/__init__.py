"""The process tree: it lives and dies together.

parent ── web worker 0, 1, …      answer requests
      └── supervisor              claims jobs
           └── training process   one job, then it ends

parts    what a process may be
launch   fork (warm, milliseconds) or spawn (a fresh interpreter)
parent   binds the port, starts the parts, starts dead ones again, ends all of them
door     lets nobody in any more, and turns away nobody who is in
folder   who has a data folder
death    a child does not outlive its parent
web      a web worker's main function
training the supervisor's and the training process's main functions
"""
