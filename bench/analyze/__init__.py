"""The paper's other experiments, and its open questions: what trained networks have in common, what is hard to learn, what
the loss looks like around them, and where a speedup holds. Each trains studies as `fidrace run` does, and looks at them.
"""
