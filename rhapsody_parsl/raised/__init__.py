"""What an app raised, on its way to the driver.

A worker writes an `Account` of the exception: its bytes, its parts one by one, and its text. The driver makes
the exception of it again: as itself when its class can be opened there, else as a `RemoteError` with the text.
"""
