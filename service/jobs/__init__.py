"""Jobs: submit, list, cancel; the supervisor and the training process.

desk         Jobs: what the API may do with jobs
limits       what a request may cost
requests     what was asked, beside the datasets that there are
supervisor   claims jobs, starts a process for each, mends what dies
watch        for how long something has not changed
deaths       how a training process ended, as the error of its job
sweeping     deletes what nothing needs any more
child        the training process; the only importer of ml.training
checkpoints  what a training goes on from, on disk, and when the next is due
recorder     curve, lease and cancel flag of a running job
results      what a training came to, as a version
contest      scores new and active version on the same rows
"""
