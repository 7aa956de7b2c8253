#!/usr/bin/env python3
"""Writes the shapes: which attributes the clouds' APIs have, as their machine-readable models tell.

A shape is a tree of names. It says of an attribute of another format whether the API has it at all, so
that its absence in a reply means something, and where names are the user's own. Leaves are letters:
s text, n number, b true or false, t time. A list is a list of one, a map of free names has "*".

    python3 -m venv v && v/bin/pip install botocore google-api-python-client oci kubernetes \
        azure-mgmt-compute==30.6.0 azure-mgmt-network==25.4.0 azure-mgmt-storage==21.1.0 && v/bin/python shapes.py
"""
import gzip, importlib, inspect, json, os, re, sys

HERE = os.path.dirname(os.path.abspath(__file__))
OPERATIONS = os.path.join(HERE, "../../../ingest/formats/data/aws-operations.json")
DEPTH = 7


def write(name, shapes):
    with open(os.path.join(HERE, name), "w") as out:
        lines = (json.dumps(k) + ":" + json.dumps(v, separators=(",", ":"), sort_keys=True) for k, v in sorted(shapes.items()))
        out.write("{\n" + ",\n".join(lines) + "\n}\n")
    print(name, len(shapes), "types", file=sys.stderr)


class Aws:
    def __init__(self, path):
        opener = gzip.open if path.endswith(".gz") else open
        self.model = json.load(opener(path, "rt"))

    def shape(self, name, depth=0, seen=()):
        shape = self.model["shapes"][name]
        kind = shape["type"]
        if kind == "structure":
            if depth > DEPTH or name in seen:
                return {"*": "s"}
            return {m: self.shape(v["shape"], depth + 1, seen + (name,)) for m, v in shape["members"].items()}
        if kind == "list":
            return [self.shape(shape["member"]["shape"], depth + 1, seen)]
        if kind == "map":
            key = self.model["shapes"][shape["key"]["shape"]]
            value = self.shape(shape["value"]["shape"], depth + 1, seen)
            # Attributes by name: the names are known.
            return {k: value for k in key["enum"]} if "enum" in key else {"*": value}
        return {"string": "s", "character": "s", "blob": "s", "timestamp": "t", "boolean": "b"}.get(kind, "n")

    def output(self, operation, path):
        output = self.model["operations"].get(operation, {}).get("output")
        if not output:
            return None
        shape = self.shape(output["shape"])
        for part in [p for p in path.split("/") if p]:
            shape = shape.get(part) if isinstance(shape, dict) else None
            if shape is None:
                return None
            if isinstance(shape, list):
                shape = shape[0]
        return shape


def merged(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return {k: merged(a[k], b[k]) if k in a and k in b else a.get(k, b.get(k)) for k in {**a, **b}}
    if isinstance(a, list) and isinstance(b, list):
        return [merged(a[0], b[0])]
    return a


def aws():
    import botocore
    root = os.path.join(os.path.dirname(botocore.__file__), "data")
    by_prefix = {}
    for service in sorted(os.listdir(root)):
        folder = os.path.join(root, service)
        if not os.path.isdir(folder):
            continue
        for version in sorted(os.listdir(folder))[-1:]:
            for name in ("service-2.json", "service-2.json.gz"):
                path = os.path.join(folder, version, name)
                if os.path.exists(path):
                    model = Aws(path)
                    by_prefix.setdefault(model.model["metadata"]["endpointPrefix"], []).append(model)
    shapes = {}
    for service, operation, path, kind, *_ in json.load(open(OPERATIONS)):
        found = [s for s in (m.output(operation, path) for m in by_prefix.get(service, [])) if isinstance(s, dict)]
        if not found:
            print("no shape:", service, operation, path, file=sys.stderr)
            continue
        for shape in found:
            shape.pop("ResponseMetadata", None)
            shapes[kind] = merged(shapes[kind], shape) if kind in shapes else shape
    # Parts that calls of their own tell, under the names that Config gives them.
    write("aws.json", shapes)


def google():
    import googleapiclient
    root = os.path.join(os.path.dirname(googleapiclient.__file__), "discovery_cache/documents")
    kinds = json.load(open(os.path.join(HERE, "google-types.json")))
    documents, shapes = {}, {}

    def shape(doc, schema, depth=0, seen=()):
        if "$ref" in schema:
            name = schema["$ref"]
            if depth > DEPTH or name in seen:
                return {"*": "s"}
            return shape(doc, doc["schemas"][name], depth, seen + (name,))
        kind = schema.get("type")
        if kind == "object":
            if "properties" in schema:
                return {k: shape(doc, v, depth + 1, seen) for k, v in schema["properties"].items()}
            extra = schema.get("additionalProperties")
            return {"*": shape(doc, extra, depth + 1, seen) if extra else "s"}
        if kind == "array":
            return [shape(doc, schema["items"], depth + 1, seen)]
        if kind == "string":
            return "t" if schema.get("format") in ("date-time", "google-datetime") else ("n" if schema.get("format") in ("int64", "uint64") else "s")
        return {"boolean": "b", "integer": "n", "number": "n"}.get(kind, "s")

    for kind, (document, schema) in kinds.items():
        if document not in documents:
            path = os.path.join(root, document + ".json")
            if not os.path.exists(path):
                print("no document:", document, file=sys.stderr)
                continue
            documents[document] = json.load(open(path))
        doc = documents[document]
        if schema not in doc["schemas"]:
            print("no schema:", document, schema, file=sys.stderr)
            continue
        shapes[kind] = shape(doc, doc["schemas"][schema], seen=(schema,))
    write("google.json", shapes)


def oracle():
    import oci
    kinds = {"oci/identity/Group": oci.identity.models.Group, "oci/core/Instance": oci.core.models.Instance,
             "oci/core/Vcn": oci.core.models.Vcn, "oci/core/Subnet": oci.core.models.Subnet,
             "oci/core/RouteTable": oci.core.models.RouteTable, "oci/core/InternetGateway": oci.core.models.InternetGateway,
             "oci/dns/Zone": oci.dns.models.Zone, "oci/identity/User": oci.identity.models.User,
             "oci/identity/Compartment": oci.identity.models.Compartment, "oci/objectstorage/Bucket": oci.object_storage.models.Bucket,
             "oci/core/Volume": oci.core.models.Volume, "oci/core/SecurityList": oci.core.models.SecurityList}

    def of(module, kind, depth):
        if kind.startswith("list["):
            return [of(module, kind[5:-1], depth + 1)]
        if kind.startswith("dict("):
            return {"*": of(module, kind[5:-1].split(",", 1)[1].strip(), depth + 1)}
        if kind in ("str", "object"):
            return "s"
        if kind in ("int", "float"):
            return "n"
        if kind == "bool":
            return "b"
        if kind in ("datetime", "date"):
            return "t"
        cls = getattr(module, kind, None)
        return model(module, cls, depth + 1) if cls and depth < DEPTH else {"*": "s"}

    def model(module, cls, depth=0):
        one = cls()
        names = dict(one.attribute_map)
        types = dict(one.swagger_types)
        # What a kind of it has besides.
        for sub in cls.__subclasses__():
            other = sub()
            names.update(other.attribute_map)
            types.update(other.swagger_types)
        return {names[k]: of(module, types[k], depth) for k in names}

    write("oracle.json", {k: model(sys.modules[c.__module__.rsplit(".", 1)[0]], c) for k, c in kinds.items()})


def kubernetes():
    from kubernetes.client import models

    # Older releases of the client write `list[…]` and `dict(…, …)`.
    LIST, MAP = re.compile(r"[Ll]ist\[(.*)\]"), re.compile(r"[Dd]ict[\[(][^,]*,(.*)[\])]")

    def of(kind, depth):
        if found := LIST.fullmatch(kind):
            return [of(found[1].strip(), depth + 1)]
        if found := MAP.fullmatch(kind):
            return {"*": of(found[1].strip(), depth + 1)}
        if kind in ("int", "float"):
            return "n"
        if kind == "bool":
            return "b"
        if kind == "datetime":
            return "t"
        cls = getattr(models, kind, None)
        if cls is None and not (kind in ("str", "object", "bytes", "decimal") or "IntOrString" in kind):
            raise ValueError(f"a type that nobody knows: {kind}")
        # A container of a job of a CronJob stands deep, and no type here holds itself.
        if cls is None or not hasattr(cls, "attribute_map") or depth > 3 * DEPTH:
            return "s" if cls is None else {"*": "s"}
        return {cls.attribute_map[k]: of(cls.openapi_types[k], depth + 1) for k in cls.attribute_map}

    kinds = {"Deployment.apps": "V1Deployment", "StatefulSet.apps": "V1StatefulSet", "DaemonSet.apps": "V1DaemonSet",
             "ReplicaSet.apps": "V1ReplicaSet", "Service": "V1Service", "ConfigMap": "V1ConfigMap", "Secret": "V1Secret",
             "Namespace": "V1Namespace", "ServiceAccount": "V1ServiceAccount", "Pod": "V1Pod",
             "PersistentVolume": "V1PersistentVolume", "PersistentVolumeClaim": "V1PersistentVolumeClaim",
             "Ingress.networking.k8s.io": "V1Ingress", "NetworkPolicy.networking.k8s.io": "V1NetworkPolicy",
             "Job.batch": "V1Job", "CronJob.batch": "V1CronJob", "Role.rbac.authorization.k8s.io": "V1Role",
             "ClusterRole.rbac.authorization.k8s.io": "V1ClusterRole", "RoleBinding.rbac.authorization.k8s.io": "V1RoleBinding",
             "ClusterRoleBinding.rbac.authorization.k8s.io": "V1ClusterRoleBinding", "StorageClass.storage.k8s.io": "V1StorageClass",
             "HorizontalPodAutoscaler.autoscaling": "V2HorizontalPodAutoscaler", "LimitRange": "V1LimitRange",
             "ResourceQuota": "V1ResourceQuota", "PodDisruptionBudget.policy": "V1PodDisruptionBudget",
             "MutatingWebhookConfiguration.admissionregistration.k8s.io": "V1MutatingWebhookConfiguration",
             "ValidatingWebhookConfiguration.admissionregistration.k8s.io": "V1ValidatingWebhookConfiguration"}
    write("kubernetes.json", {k: of(v, 0) for k, v in kinds.items()})


def azure():
    kinds = json.load(open(os.path.join(HERE, "azure-types.json")))
    shapes = {}

    def put(tree, path, value):
        for part in path[:-1]:
            nested = tree.setdefault(part, {})
            if not isinstance(nested, dict):
                return
            tree = nested
        tree[path[-1]] = value

    def of(module, kind, depth, seen):
        if kind.startswith("["):
            return [of(module, kind[1:-1], depth + 1, seen)]
        if kind.startswith("{"):
            return {"*": of(module, kind[1:-1], depth + 1, seen)}
        if kind in ("int", "float", "long"):
            return "n"
        if kind == "bool":
            return "b"
        if kind in ("iso-8601", "rfc-1123"):
            return "t"
        cls = getattr(module, kind, None)
        if cls is None or not hasattr(cls, "_attribute_map"):
            return "s"
        if depth > 5 or kind in seen:
            return {"*": "s"}
        return model(module, cls, depth + 1, seen + (kind,))

    def model(module, cls, depth=0, seen=()):
        tree = {}
        for one in cls._attribute_map.values():
            path = [p.replace("\0", ".") for p in one["key"].replace("\\.", "\0").split(".")]
            put(tree, path, of(module, one["type"], depth, seen))
        return tree

    for kind, (module, cls) in kinds.items():
        try:
            mod = importlib.import_module(module)
            shapes[kind] = model(mod, getattr(mod, cls), seen=(cls,))
        except (ImportError, AttributeError) as error:
            print("no model:", kind, error, file=sys.stderr)
    write("azure.json", shapes)


for part in sys.argv[1:] or ["aws", "google", "oracle", "kubernetes", "azure"]:
    globals()[part]()
