"""How panels are asked: a page asks for several at once, so that CPU counts, and not time."""

# Of small reads threads and the asynchronous way to files are a third of the cost. In the text,
# because chDB takes 7 ms for settings that come beside it.
CHEAPLY = "SETTINGS max_threads = 1, local_filesystem_read_method = 'pread'"
# Of closed hours no row has versions in two partitions (windows.py): each partition is put together
# by itself, which takes half of the CPU where there are several.
OF_CLOSED = f"{CHEAPLY}, do_not_merge_across_partitions_select_final = 1"
