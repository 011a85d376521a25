"""Very many short containers, and kills at random moments, with an account of everything before and after.

:mod:`place` is where it happens: namespaces in which nothing is but what this program and lamina make. :mod:`account`
is what can be left over there. :mod:`containers` are the short containers, :mod:`kills` what is killed, :mod:`course`
the whole.
"""
