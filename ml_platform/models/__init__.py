"""What a model is to everybody else: a task (what is predicted, how it is measured) and a predictor (a file that
predicts). How it is trained is no business of this package.
"""
