"""Optional studies of trained networks and of speedups. Nothing outside this folder and its command imports it.

consistency/: do networks that were trained apart draw the same images from the same latents?
difficulty/:  which timesteps are hard to learn?
landscape/:   is the loss smooth around trained networks?
robustness/:  at which settings does a speedup hold?

Each has analysis.py (what is trained and measured), tables.py (data frames, and the findings in words) and plots.py (PNGs).
"""
