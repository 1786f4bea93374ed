"""What objects of others may look like, as far as the chart uses them: their schemas are in no package here.

Sources: the API references of KEDA, Prometheus Operator, External Secrets and the Gateway API. An unknown field is a
mistake, for the cluster would throw it away in silence.
"""

from typing import Any, Final

from jsonschema import Draft202012Validator

from helm.schema import ANY, ANYS, DURATION, TEXTS, integer, many, of, one_of, string

Json = dict[str, Any]


def needs(shape: Json, *names: str) -> Json:
    """The same, with keys that must be there."""
    return shape | {"required": list(names)}


TRIGGERS: Final = {
    "metrics-api": needs(
        of(url=string(pattern="^http://"), format=one_of("json"), valueLocation=string(), targetValue=string()),
        "url",
        "valueLocation",
        "targetValue",
    ),
    "prometheus": needs(
        of(serverAddress=string(), query=string(), threshold=string(), ignoreNullValues=string()),
        "serverAddress",
        "query",
        "threshold",
    ),
}
PATH_MATCH: Final = needs(of(type=one_of("PathPrefix"), value=string(pattern="^/")), "type", "value")
REMOTE: Final = needs(of(key=string(), property=string(), version=string()), "key")
RULE: Final = needs(
    of(**{"alert": string(), "expr": string(), "for": DURATION, "labels": TEXTS, "annotations": TEXTS}), "alert", "expr"
)

SPECS: Final[dict[str, Json]] = {
    "ScaledObject": needs(
        of(
            scaleTargetRef=needs(of(name=string()), "name"),
            minReplicaCount=integer(0),
            maxReplicaCount=integer(1),
            pollingInterval=integer(1),
            fallback=needs(of(failureThreshold=integer(1), replicas=integer(0)), "failureThreshold", "replicas"),
            advanced=of(horizontalPodAutoscalerConfig=of(behavior=ANY)),
            triggers=many(
                {
                    "oneOf": [
                        needs(
                            of(
                                type=one_of(kind),
                                metricType=one_of("AverageValue", "Value"),
                                metadata=metadata,
                                authenticationRef=of(name=string(), kind=string()),
                            ),
                            "type",
                            "metadata",
                        )
                        for kind, metadata in TRIGGERS.items()
                    ]
                }
            )
            | {"minItems": 1},
        ),
        "scaleTargetRef",
        "triggers",
    ),
    "ServiceMonitor": needs(
        of(
            selector=needs(of(matchLabels=TEXTS), "matchLabels"),
            endpoints=many(
                of(
                    port=string(),
                    path=string(),
                    interval=DURATION,
                    scrapeTimeout=DURATION,
                    relabelings=ANYS,
                    metricRelabelings=ANYS,
                )
            ),
        ),
        "selector",
        "endpoints",
    ),
    "PrometheusRule": needs(of(groups=many(needs(of(name=string(), rules=many(RULE)), "name", "rules"))), "groups"),
    "ExternalSecret": needs(
        of(
            refreshInterval=DURATION,
            secretStoreRef=needs(of(name=string(), kind=one_of("SecretStore", "ClusterSecretStore")), "name"),
            target=of(name=string(), creationPolicy=one_of("Owner")),
            data=many(needs(of(secretKey=string(), remoteRef=REMOTE), "secretKey", "remoteRef")),
            dataFrom=many(of(extract=REMOTE)),
        ),
        "secretStoreRef",
        "target",
    ),
    "HTTPRoute": needs(
        of(
            parentRefs=many(needs(of(name=string(), namespace=string(), sectionName=string()), "name")),
            hostnames=many(string()),
            rules=many(
                of(
                    matches=many(of(path=PATH_MATCH)) | {"maxItems": 8},  # what version 1.0 allows
                    filters=ANYS,
                    backendRefs=many(needs(of(name=string(), port=integer(1)), "name", "port")),
                )
            ),
        ),
        "parentRefs",
        "rules",
    ),
}
VERSIONS: Final = {
    "ScaledObject": "keda.sh/v1alpha1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ExternalSecret": "external-secrets.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
}


def mistakes(thing: Json) -> list[str]:
    """How an object of others breaks its shape."""
    shape = needs(
        of(apiVersion={"const": VERSIONS[thing["kind"]]}, kind=string(), metadata=ANY, spec=SPECS[thing["kind"]]),
        "apiVersion",
        "metadata",
        "spec",
    )
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(shape).iter_errors(thing)]
