/**
 * Finds what is built and passed on, and read by nobody: members of what a factory takes (`createX({ a, b }: {…})`), and of what
 * it returns. No compiler sees them: an object that holds too much fits every type, and somebody who forgets to call a member
 * hears nothing. A member counts as read where its value is taken (`deps.a`, `const { a } = deps`), or where the same member of a
 * type that the object is given to as well is. Reads by tests do not count.
 *
 * `tsx scripts/check-unread-members.ts` looks at the whole program, and ends with 1 when it finds some.
 */
import { relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';

const rooms = ['src', 'workers', 'db', 'jobs', 'embedded'];
const factory = /^create[A-Z]/;
/** Deeper members of two types that meet are not compared. */
const deepest = 4;

/** Members that nobody in the program reads although they must be there, as `<file>#<member>`, and why. */
const allowed: ReadonlyMap<string, string> = new Map([
  [
    'src/features/accounts/api-key-cache.ts#flush',
    'tests write down what was counted without waiting for the timer',
  ],
  ['src/features/portfolios/queries/transactions.ts#inOrder', 'tests compare it with what rebuilds read'],
  ['src/features/quotes/price-hub.ts#watched', 'tests wait until nobody watches any more'],
  [
    'src/features/upstream/queries/upstream-calls.ts#creditsSince',
    'tests compare it with the budget in Redis',
  ],
  ['src/features/upstream/provider.ts#quotesOnly', 'tests of all providers leave out what one cannot do'],
  ['src/features/upstream/request-limiter-contract.ts#counts', 'tests wait until a caller waits'],
]);

/** A member that nobody reads. */
export interface UnreadMember {
  readonly file: string;
  /** Counts from 1. */
  readonly line: number;
  readonly member: string;
  /** The function that takes or returns it. */
  readonly factory: string;
}

/** The members that nobody reads of what the factories of a program take and return; `isOwn` tells which files it consists of. */
export function unreadMembers(
  program: ts.Program,
  isOwn: (file: ts.SourceFile) => boolean,
): readonly UnreadMember[] {
  const checker = program.getTypeChecker();
  const files = program.getSourceFiles().filter(isOwn);
  const own = new Set(files);
  /** Declarations of members whose value is taken. */
  const read = new Set<ts.Node>();
  /** By the declaration of a member: those of the same member in types that its object is given to. */
  const passedOn = new Map<ts.Node, Set<ts.Node>>();
  const compared = new Map<ts.Type, Set<ts.Type>>();

  const declarationsOf = (symbol: ts.Symbol | undefined): readonly ts.Node[] => symbol?.declarations ?? [];
  const noteRead = (symbol: ts.Symbol | undefined): void => {
    for (const each of declarationsOf(symbol)) read.add(each);
  };
  const readAll = (type: ts.Type): void => checker.getPropertiesOfType(type).forEach(noteRead);

  /** Notes that what is a `from` is used as a `to`. */
  function relate(from: ts.Type, to: ts.Type, depth: number): void {
    if (from === to || depth > deepest) return;
    const known = compared.get(from) ?? new Set();
    if (known.has(to)) return;
    compared.set(from, known.add(to));
    if (to.isUnion()) {
      for (const each of to.types) relate(from, each, depth);
      return;
    }
    if (from.isUnion()) {
      for (const each of from.types) relate(each, to, depth);
      return;
    }
    if ((from.flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection)) === 0) return;
    // Whoever gets it as anything at all may read all of it.
    if (
      (to.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown)) !== 0 ||
      checker.getIndexInfosOfType(to).length > 0
    ) {
      if (declarationsOf(from.symbol).some((each) => own.has(each.getSourceFile()))) readAll(from);
      return;
    }
    relateMembers(from, to, depth);
    const [given] = from.getCallSignatures();
    const [wanted] = to.getCallSignatures();
    if (given !== undefined && wanted !== undefined) relateCalls(given, wanted, depth);
  }

  /** The type arguments and members of a `from`, where a `to` has them too. */
  function relateMembers(from: ts.Type, to: ts.Type, depth: number): void {
    const wantedArguments = argumentsOf(to);
    for (const [index, each] of argumentsOf(from).entries()) {
      const other = wantedArguments[index];
      if (other !== undefined) relate(each, other, depth + 1);
    }
    for (const target of checker.getPropertiesOfType(to)) {
      const source = checker.getPropertyOfType(from, target.name);
      if (source === undefined || source === target) continue;
      for (const declaration of declarationsOf(source)) {
        const targets = passedOn.get(declaration) ?? new Set();
        passedOn.set(declaration, targets);
        declarationsOf(target).forEach((each) => void targets.add(each));
      }
      if (declarationsOf(target).some((each) => own.has(each.getSourceFile())))
        relate(checker.getTypeOfSymbol(source), checker.getTypeOfSymbol(target), depth + 1);
    }
  }

  /** What a function returns goes on as what is wanted of it; what it is given comes the other way. */
  function relateCalls(given: ts.Signature, wanted: ts.Signature, depth: number): void {
    relate(given.getReturnType(), wanted.getReturnType(), depth + 1);
    for (const [index, parameter] of given.getParameters().entries()) {
      const passed = wanted.getParameters()[index];
      if (passed !== undefined)
        relate(checker.getTypeOfSymbol(passed), checker.getTypeOfSymbol(parameter), depth + 1);
    }
  }

  function visit(node: ts.Node): void {
    if (ts.isPropertyAccessExpression(node) && !isWritten(node))
      noteRead(checker.getSymbolAtLocation(node.name));
    if (ts.isElementAccessExpression(node)) {
      const type = checker.getTypeAtLocation(node.expression);
      const { argumentExpression: key } = node;
      if (ts.isStringLiteralLike(key)) noteRead(checker.getPropertyOfType(type, key.text));
      else if (declarationsOf(type.symbol).some((each) => own.has(each.getSourceFile()))) readAll(type);
    }
    if (
      ts.isBindingElement(node) &&
      ts.isObjectBindingPattern(node.parent) &&
      node.dotDotDotToken === undefined
    ) {
      const name = node.propertyName ?? node.name;
      if (ts.isIdentifier(name) || ts.isStringLiteralLike(name))
        noteRead(checker.getPropertyOfType(checker.getTypeAtLocation(node.parent), name.text));
    }
    if (ts.isExpression(node) && isPlaced(node)) {
      const wanted = checker.getContextualType(node);
      if (wanted !== undefined) relate(checker.getTypeAtLocation(node), wanted, 0);
    }
    if (ts.isShorthandPropertyAssignment(node)) {
      const wanted = checker.getContextualType(node.name);
      const value = checker.getShorthandAssignmentValueSymbol(node);
      if (wanted !== undefined && value !== undefined)
        relate(checker.getTypeOfSymbolAtLocation(value, node), wanted, 0);
    }
    if (ts.isSatisfiesExpression(node))
      relate(checker.getTypeAtLocation(node.expression), checker.getTypeFromTypeNode(node.type), 0);
    ts.forEachChild(node, visit);
  }

  /** What a promise or a list holds. */
  function argumentsOf(type: ts.Type): readonly ts.Type[] {
    const isReference = 'target' in type && (type as Partial<ts.TypeReference>).target !== undefined;
    return isReference ? checker.getTypeArguments(type as ts.TypeReference) : [];
  }

  for (const file of files) visit(file);

  const isRead = (declaration: ts.Node, seen = new Set<ts.Node>()): boolean => {
    if (read.has(declaration)) return true;
    if (seen.has(declaration)) return false;
    seen.add(declaration);
    return [...(passedOn.get(declaration) ?? [])].some(
      // What a package declares is read by the package.
      (each) => !own.has(each.getSourceFile()) || isRead(each, seen),
    );
  };

  return membersOfFactories(checker, files).filter(
    ({ declarations }) => !declarations.some((each) => isRead(each)),
  );
}

interface FactoryMember extends UnreadMember {
  readonly declarations: readonly ts.Node[];
}

function membersOfFactories(
  checker: ts.TypeChecker,
  files: readonly ts.SourceFile[],
): readonly FactoryMember[] {
  const own = new Set(files);
  const members = new Map<ts.Node, FactoryMember>();
  const add = (symbol: ts.Symbol, name: string): void => {
    const declarations = (symbol.declarations ?? []).filter((each) => own.has(each.getSourceFile()));
    const [first] = declarations;
    if (first === undefined || !/^[A-Za-z_]\w*$/.test(symbol.name) || !isMember(first)) return;
    const file = first.getSourceFile();
    const { line } = file.getLineAndCharacterOfPosition(first.getStart());
    const place = { file: file.fileName, line: line + 1 };
    members.set(first, { ...place, member: symbol.name, factory: name, declarations });
  };
  for (const { name, declaration } of files.flatMap((file) => factoriesOf(file))) {
    const types = declaration.parameters.map((each) => checker.getTypeAtLocation(each));
    const returned = checker.getSignatureFromDeclaration(declaration)?.getReturnType();
    const parts = [...types, ...(returned === undefined ? [] : [returned])].flatMap((each) =>
      partsOf(checker, each),
    );
    for (const symbol of parts.flatMap((each) => checker.getPropertiesOfType(each))) add(symbol, name);
  }
  return [...members.values()];
}

/** Members of types and of object literals, also of those that a function returns; not those of classes. */
function isMember(node: ts.Node): boolean {
  return (
    ts.isPropertySignature(node) ||
    ts.isMethodSignature(node) ||
    ts.isPropertyAssignment(node) ||
    ts.isShorthandPropertyAssignment(node) ||
    (ts.isMethodDeclaration(node) && ts.isObjectLiteralExpression(node.parent))
  );
}

/** The object types in a type: itself, what a promise will bring, the parts of a union. */
function partsOf(checker: ts.TypeChecker, type: ts.Type): readonly ts.Type[] {
  const held = checker.getAwaitedType(type) ?? type;
  const parts = held.isUnion() ? held.types : [held];
  return parts.filter(({ flags }) => (flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection)) !== 0);
}

interface Factory {
  readonly name: string;
  readonly declaration: ts.FunctionDeclaration | ts.ArrowFunction | ts.FunctionExpression;
}

function factoriesOf(file: ts.SourceFile): readonly Factory[] {
  return file.statements.flatMap((statement): readonly Factory[] => {
    if (ts.isFunctionDeclaration(statement)) {
      const name = statement.name?.text ?? '';
      return factory.test(name) ? [{ name, declaration: statement }] : [];
    }
    if (!ts.isVariableStatement(statement)) return [];
    return statement.declarationList.declarations.flatMap(({ name, initializer }) =>
      ts.isIdentifier(name) &&
      factory.test(name.text) &&
      initializer !== undefined &&
      (ts.isArrowFunction(initializer) || ts.isFunctionExpression(initializer))
        ? [{ name: name.text, declaration: initializer }]
        : [],
    );
  });
}

/** Whether an expression stands where something of a certain type is wanted. */
function isPlaced(node: ts.Expression): boolean {
  const { parent } = node;
  return (
    ((ts.isCallExpression(parent) || ts.isNewExpression(parent)) &&
      parent.arguments?.includes(node) === true) ||
    (ts.isPropertyAssignment(parent) && parent.initializer === node) ||
    (ts.isSpreadAssignment(parent) && parent.expression === node) ||
    (ts.isReturnStatement(parent) && parent.expression === node) ||
    (ts.isArrowFunction(parent) && parent.body === node) ||
    (ts.isVariableDeclaration(parent) && parent.initializer === node) ||
    (ts.isConditionalExpression(parent) && parent.condition !== node) ||
    (ts.isBinaryExpression(parent) && parent.right === node) ||
    ts.isArrayLiteralExpression(parent)
  );
}

/** Whether it is only given a value. */
function isWritten(node: ts.PropertyAccessExpression): boolean {
  const { parent } = node;
  return (
    ts.isBinaryExpression(parent) &&
    parent.left === node &&
    parent.operatorToken.kind === ts.SyntaxKind.EqualsToken
  );
}

function main(): void {
  const root = resolve(import.meta.dirname, '..');
  const { config } = ts.readConfigFile(resolve(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
    config: object;
  };
  const include = rooms.map((room) => `${room}/**/*.ts`);
  const { fileNames, options } = ts.parseJsonConfigFileContent({ ...config, include }, ts.sys, root);
  const program = ts.createProgram(fileNames, { ...options, noEmit: true });
  const names = new Set(fileNames);
  const unread = unreadMembers(program, ({ fileName }) => names.has(fileName)).map((each) => ({
    ...each,
    file: relative(root, each.file),
  }));
  const left = unread.filter(({ file, member }) => !allowed.has(`${file}#${member}`));
  const needless = [...allowed.keys()].filter(
    (key) => !unread.some((each) => `${each.file}#${each.member}` === key),
  );
  for (const each of left)
    console.log(`${each.file}:${each.line} ${each.member} (of ${each.factory}) is never read`);
  for (const key of needless) console.log(`${key} is listed as read by nothing, but it is read`);
  console.log(`${fileNames.length} files: ${left.length} members are never read`);
  if (left.length + needless.length > 0) process.exitCode = 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main();
