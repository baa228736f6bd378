"""Data by reference: values that stay in the block, and the handles that travel instead of them.

A value is written once, as a file of its host's shared memory (`packing`, `layout`, `hosts.data_files`). What travels
is a `Ref` (`reference`). Where a task opens its arguments, a `Ref` becomes the value. `book` says who needs which
value.
"""
