"""The findings in words: what each code means, and what in such code usually causes it."""

from metaspec_conformance.audit.hypotheses.family import FAMILY

TITLES = {
    "maml": "MAML",
    "fomaml": "FO-MAML",
    "reptile": "Reptile",
    "imaml": "iMAML",
    "gradient": "the plain query gradient, without any adaptation",
    **{name: member.title for name, member in FAMILY.items()},
}

BRIEF = {
    "partial-second-order": "some inner steps not differentiated",
    "hessian-factor": "a factor on the second-order terms",
    "hessian-data": "second derivatives of another set",
    "hessian-point": "second derivatives at other points of the path",
    "steps": "another number of inner steps",
    "inner-rate": "another inner rate",
    "inner-sum": "the inner loss summed over its examples",
    "outer-sum": "the outer loss summed over its examples",
    "task-sum": "the sum over tasks",
    "task-weights": "unequal or wrong weights of the tasks",
    "scale": "a factor",
    "sign": "the wrong sign",
    "inner-data": "the inner loop on other data",
    "outer-data": "the outer gradient of other data",
    "outer-point": "the outer gradient at another point of the path",
    "multi-step-loss": "the outer loss summed over the inner steps",
    "minibatches": "inner steps on minibatches",
    "difference": "difference quotients in place of second derivatives",
    "shrinkage": "a shrunk start of the inner loop",
    "context": "a context that starts at zero",
    "outer-decay": "weight decay in the outer step",
    "outer-clipping": "a clipped result",
    "learned-gradient": "wrong gradients of learned inputs",
    "annealing": "a switch between calls",
    "proximal-missing": "no proximal term in the inner loop",
    "regularization": "another strength of regularization",
    "operator": "another operator than I + H/lambda",
    "block-diagonal": "a Hessian without the blocks between leaves",
    "solver": "another solve",
    "leaf-ignored": "leaves without a meta-gradient",
    "leaf-frozen": "leaves that the inner loop does not move",
    "leaf-exchanged": "exchanged leaves",
    "task-state": "something carried from task to task",
    "call-state": "something carried from call to call",
    "random": "randomness",
    "input-changed": "changed inputs",
    "buffers-changed": "changed buffers",
    "globals-changed": "changed process-wide settings",
    "precision": "lost precision",
    "inner-optimizer": "another inner optimiser",
    "unexplained": "something that is not explained",
    "algorithm": "another algorithm",
}

CAUSES = {
    "algorithm": "The inner gradient is taken without keeping its graph (create_graph=True, a tape within a tape, no "
    "stop_gradient), or parameters are detached or copied between the inner steps.",
    "partial-second-order": "A detach, a fresh copy or a freed graph after some inner step.",
    "hessian-factor": "A hand-written chain rule with a wrong sign or rate, or a rate that counts twice.",
    "hessian-data": "Hessian-vector products are taken on another batch than the inner gradient.",
    "hessian-point": "The path is not stored, and products are taken where the loop ended or began.",
    "steps": "range() off by one, a return inside the loop, or every step begins at the meta-parameters.",
    "inner-rate": "A default that is not passed on, or a rate that is scaled twice.",
    "inner-sum": "reduction='sum', or a loss that is not divided by its number of examples.",
    "outer-sum": "reduction='sum', or a loss that is not divided by its number of examples.",
    "task-sum": "Losses or gradients are accumulated over the tasks and never divided by their number.",
    "task-weights": "A division inside the loop, an assignment in place of an accumulation, or a mean over examples.",
    "scale": "A division or a rate too many or too few.",
    "sign": "The difference is taken the other way round, or a loss is maximised.",
    "inner-data": "Support and query are taken from the tuple in the wrong order, or the sets are joined.",
    "outer-data": "The loss that is differentiated last is the support set's.",
    "outer-point": "The query loss is computed before the last update is applied.",
    "multi-step-loss": "The query loss is accumulated within the inner loop, as MAML++ does.",
    "minibatches": "The inner loop goes through a loader, or slices the support set.",
    "difference": "Second derivatives are approximated, as DARTS does.",
    "shrinkage": "The parameters are scaled before they are adapted.",
    "context": "The adapted leaves are context parameters, as CAVIA's.",
    "outer-decay": "weight_decay of the outer optimiser, or a penalty in the outer loss.",
    "outer-clipping": "Gradients are clipped before the outer step.",
    "learned-gradient": "The rates are detached in the inner step, or their gradient is scaled.",
    "annealing": "First order up to some iteration, second order after it, as MAML++ has it.",
    "proximal-missing": "The inner loop minimises the plain loss; lambda appears in the solve alone.",
    "regularization": "lambda and 1/lambda, or a default that is not passed on.",
    "operator": "The proximal term is counted twice or not at all in the operator, or a damping is added.",
    "block-diagonal": "Products are computed leaf by leaf.",
    "solver": "The loop of the solver stops earlier or later, or a series is summed in its place.",
    "leaf-ignored": "The leaf is not in the list that is differentiated, or its gradient is never written.",
    "leaf-frozen": "The inner loop runs over some of the parameters only, or a loop variable is overwritten.",
    "leaf-exchanged": "Gradients and parameters are zipped in different orders.",
    "task-state": "The parameters or the optimiser of the inner loop are made once, outside of the loop over tasks.",
    "call-state": "Parameters, an optimiser or a cache live in the module, and a call does not begin afresh.",
    "random": "Dropout, shuffling or sampling inside of the function; where the mean is right, evolution strategies or "
    "products with random vectors.",
    "input-changed": "An in-place update on the tensors that came in, or a copy that shares their memory.",
    "buffers-changed": "Batch normalisation in training mode on the meta-model itself.",
    "globals-changed": "A default dtype or a flag that is set and not set back.",
    "precision": "A cast, a default dtype, or a difference quotient in place of a derivative.",
    "inner-optimizer": "The inner loop is driven by an optimiser with momentum, adaptation, decay or clipping.",
}

FAILED = {
    "raises": "raises an error",
    "timeout": "does not come back",
    "died": "ends the process",
    "none": "gives nothing",
    "wrong-tree": "gives something else than one array per parameter",
    "wrong-shape": "gives arrays of other shapes than the parameters",
    "not-finite": "gives NaN or infinity",
    "dtype": "gives arrays that are not floating",
    "framework-missing": "needs a framework that is not installed",
    "signature": "cannot be called by the names of its arguments",
}


def joined(codes: tuple[str, ...]) -> str:
    """The deviations in one phrase."""
    words = [BRIEF[code] for code in codes if code in BRIEF and code != "algorithm"]
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]
