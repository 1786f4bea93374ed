"""values.schema.json as a table: what each value of the chart may be. A misspelt name is a mistake everywhere.

What Kubernetes itself defines (affinity, resources, …) is an object here; the cluster checks what is in it.
"""

from typing import Any, Final

from app.alerts.rules import RULES

Json = dict[str, Any]


def of(**properties: Json) -> Json:
    """An object with these keys and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def string(**rules: Any) -> Json:
    """Text."""
    return {"type": "string", **rules}


def integer(least: int, most: int | None = None) -> Json:
    """A whole number within bounds."""
    return {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})


def number(*, above: float, most: float) -> Json:
    """A number within bounds, the lower one not included."""
    return {"type": "number", "exclusiveMinimum": above, "maximum": most}


def one_of(*names: str) -> Json:
    """One of these words."""
    return {"enum": list(names)}


def many(items: Json) -> Json:
    """A list."""
    return {"type": "array", "items": items}


def or_null(rule: Json) -> Json:
    """The same, or null."""
    return rule | {"type": [rule["type"], "null"]}


FLAG: Final[Json] = {"type": "boolean"}
ANY: Final[Json] = {"type": "object"}
ANYS: Final = many(ANY)
TEXTS: Final[Json] = {"type": "object", "additionalProperties": string()}  # labels, annotations
PORT: Final = integer(1, 65535)
PULL: Final = one_of("Always", "IfNotPresent", "Never")
PERCENT: Final = integer(1, 100)
PATH: Final = string(pattern="^/")
CIDR: Final = string(pattern="^[0-9a-fA-F.:]+/[0-9]{1,3}$")
DURATION: Final = string(pattern="^([0-9]+(ms|s|m|h|d))+$")
NAMES: Final = string(pattern="^$|^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
_THRESHOLD: Final = {"type": ["number", "null"], "minimum": 0}
THRESHOLDS: Final = of(enabled=FLAG, warning=_THRESHOLD, critical=_THRESHOLD, for_s=integer(0))
REFERENCE: Final = of(name=string(minLength=1))
PROBE: Final = of(
    initialDelaySeconds=integer(0),
    periodSeconds=integer(1),
    timeoutSeconds=integer(1),
    successThreshold=integer(1),
    failureThreshold=integer(1),
)
INGRESS: Final = of(enabled=FLAG, className=string(), annotations=TEXTS, hosts=many(string(minLength=1)), tls=ANYS)
PLACEMENT: Final = {"nodeSelector": TEXTS, "tolerations": ANYS, "affinity": ANY}
POD: Final = {
    "replicas": integer(0),
    "port": integer(1024, 65535),  # the pod's user may not open lower ones
    "terminationGracePeriodSeconds": integer(10),
    "resources": ANY,
    "strategy": ANY,
    # Of 0, no node with such a pod could ever be drained.
    "podDisruptionBudget": of(
        enabled=FLAG, maxUnavailable={"anyOf": [integer(1), string(pattern="^([1-9][0-9]?|100)%$")]}
    ),
    "topologySpread": ANYS,
    "startupProbe": PROBE,
    "livenessProbe": PROBE,
    "readinessProbe": PROBE,
    "labels": TEXTS,
    "annotations": TEXTS,
    "podLabels": TEXTS,
    "podAnnotations": TEXTS,
    "extraEnv": many({"type": "object", "required": ["name"]}),
    "extraEnvFrom": ANYS,
    "extraVolumes": ANYS,
    "extraVolumeMounts": ANYS,
    "extraContainers": ANYS,
    "initContainers": ANYS,
    "priorityClassName": string(),
    **PLACEMENT,
}
_OF_SYNCS: Final = (
    *("terminationGracePeriodSeconds", "resources", "labels", "annotations", "podLabels", "podAnnotations"),
    *("extraEnv", "extraEnvFrom", "extraVolumes", "extraVolumeMounts", "initContainers", "priorityClassName"),
)
AUTOSCALING: Final = {
    "enabled": FLAG,
    "minReplicas": integer(1),
    "maxReplicas": integer(1),
    "behavior": ANY,
}

VALUES: Final[dict[str, Json]] = {
    "nameOverride": NAMES,
    "fullnameOverride": NAMES,
    "commonLabels": TEXTS,
    "commonAnnotations": TEXTS,
    "image": of(
        repository=string(minLength=1),
        tag=string(),
        digest=string(pattern="^$|^sha256:[0-9a-f]{64}$"),
        pullPolicy=PULL,
        pullSecrets=many(REFERENCE),
    ),
    "serviceAccount": of(create=FLAG, name=NAMES, annotations=TEXTS),
    "config": {"type": ["object", "string"]},
    "existingConfigMap": NAMES,
    "rollOnConfigChange": FLAG,
    "secrets": of(
        name=NAMES,
        values={"type": "object", "additionalProperties": string(minLength=1)},
        asEnvironment=FLAG,
        mountPath=PATH,
        externalSecret=of(
            enabled=FLAG,
            storeRef=of(name=string(minLength=1), kind=one_of("SecretStore", "ClusterSecretStore")),
            refreshInterval=DURATION,
            data=many({"type": "object", "required": ["secretKey", "remoteRef"]}),
            dataFrom=ANYS,
        ),
    ),
    "listenAddress": string(minLength=1),
    "gateway": of(
        **POD,
        trustedProxies=many(string(minLength=1)),
        autoscaling=of(**AUTOSCALING, targetCPU=PERCENT),
        preStopSeconds=integer(0),
        adminPort=integer(1024, 65535),
    ),
    "service": of(
        type=one_of("ClusterIP", "NodePort", "LoadBalancer"),
        port=PORT,
        nodePort=or_null(PORT),
        annotations=TEXTS,
        labels=TEXTS,
        externalTrafficPolicy=one_of("", "Cluster", "Local"),
        loadBalancerClass=string(),
        loadBalancerSourceRanges=many(CIDR),
    ),
    "publicPaths": many(PATH) | {"minItems": 1},
    "ingress": INGRESS,
    "httpRoute": of(
        enabled=FLAG,
        annotations=TEXTS,
        parentRefs=many({"type": "object", "required": ["name"]}),
        hostnames=many(string(minLength=1)),
        filters=ANYS,
    ),
    "worker": of(
        **POD,
        autoscaling=of(
            **AUTOSCALING,
            kind=one_of("auto", "keda", "hpa"),
            keda=of(
                targetSeconds=number(above=0, most=10),
                trigger=one_of("metrics-api", "prometheus"),
                pollingInterval=integer(1),
                fallbackReplicas=or_null(integer(1)),
                prometheus=of(serverAddress=string(pattern="^$|^https?://"), authenticationRef=ANY),
            ),
            hpa=of(targetCPU=PERCENT),
        ),
    ),
    "console": of(**POD, enabled=FLAG, ingress=INGRESS),
    "syncs": of(
        enabled=FLAG,
        stateUrl=string(),
        persistence=of(size=string(minLength=1), storageClass=string(), existingClaim=NAMES),
        **{name: POD[name] for name in _OF_SYNCS},
        **PLACEMENT,
    ),
    "redis": of(
        trial=of(
            enabled=FLAG,
            engine=one_of("redis", "valkey"),
            image=of(repository=string(), tag=string(), pullPolicy=PULL),
            maxmemory=string(pattern="^[0-9]+(kb|mb|gb)$"),
            persistence=of(enabled=FLAG, size=string(minLength=1), storageClass=string()),
            resources=ANY,
            **PLACEMENT,
        )
    ),
    "podSecurityContext": ANY,
    "securityContext": ANY,
    "networkPolicy": of(
        enabled=FLAG,
        gatewayFrom=ANYS,
        workerFrom=ANYS,
        consoleFrom=ANYS,
        redisTo=ANYS,
        redisPorts=many(PORT) | {"minItems": 1},
        dnsTo=ANYS,
        privateNetworks=many(CIDR),
        privateNetworksIPv6=many(CIDR),
        gatewayExtraEgress=ANYS,
        workerExtraEgress=ANYS,
        consoleExtraEgress=ANYS,
        syncsExtraEgress=ANYS,
    ),
    "serviceMonitor": of(
        enabled=FLAG,
        labels=TEXTS,
        interval=DURATION,
        scrapeTimeout=DURATION,
        relabelings=ANYS,
        metricRelabelings=ANYS,
    ),
    "prometheusRule": of(
        enabled=FLAG,
        labels=TEXTS,
        rules=of(**{rule.name: THRESHOLDS for rule in RULES.values() if rule.prometheus}),
        alertLabels=TEXTS,
        runbook=string(pattern="^$|^https?://"),
        extraRules=ANYS,
    ),
    "dashboard": of(enabled=FLAG, labels=TEXTS, annotations=TEXTS),
    "tests": of(enabled=FLAG, source=string()),
    "extraObjects": many({"type": ["object", "string"]}),
    "global": ANY,  # Helm's own, where this is another chart's part
}


def values_schema(settings: dict[str, Json]) -> Json:
    """The whole of it; `settings` are the rules of the program's own settings."""
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of attentive-gateway"} | of(
        **VALUES, settings=of(**settings)
    )
