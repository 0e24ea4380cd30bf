"""Jobs: submit, list, cancel; the supervisor and the training process.

desk         Jobs: what the API may do with jobs
limits       what a request may cost
requests     what was asked, beside the datasets that there are
supervisor   claims jobs, starts a process for each, mends what dies
child        the training process; the only importer of ml.training
recorder     curve, lease and cancel flag of a running job
contest      scores new and active version on the same rows
"""
