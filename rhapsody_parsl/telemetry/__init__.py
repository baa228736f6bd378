"""A run as OpenTelemetry tells it: a trace for each task, and metrics; imported only with `telemetry=True`.

`setting_up` finds or makes the providers; `Telemetry` gets what the record gets, on the record's thread.
"""
