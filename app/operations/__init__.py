"""What an operator does, once: the commands and the console call these, and add nothing but words.

Each takes an `Operator`, returns frozen values and prints nothing. One that cannot be done raises an OperationError,
whose text is for the operator. All raise StoreError when Redis does not answer.
"""
