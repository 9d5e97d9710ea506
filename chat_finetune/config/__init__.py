"""The only declaration of every knob.

From these models come the run form in the Prefect UI, the command line's flags, the validation of
`prefect.yaml` and the reference page. A new knob is one `Field` here.
"""
