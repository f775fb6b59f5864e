"""Published numbers and claims, and what runs say of them.

Tasks stand here by name, as in the tables and figures of `sambench.report`: by which task a published number was measured is a fact
of the paper. What a task can say of itself (its columns, its words, what is plotted of it) is asked of the task.
"""
