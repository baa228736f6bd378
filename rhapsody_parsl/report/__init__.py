"""What a run was like, from its record: a page, a picture, a table of all tasks, a trace. Pure but for `writing`.

`bars` is the timeline, `series` is what changes over time, `requests` is of services, `tables` the rest; `page`,
`picture` and `trace` show that.
"""
