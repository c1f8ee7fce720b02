"""Scenarios as text: what happens to a network, line by line, in sentences that anybody can read.

`words` takes sentences apart, `vocabulary` holds the forms that there are (`steps` and `checks` add them), `parse`
makes a script of a file, `play` performs it in virtual time on a `stage`. The files are in `lab/scenarios`.
"""
